"""Static pictures: SVG without scripts for pages, notebooks and reports, bars of characters for mail and terminals."""
