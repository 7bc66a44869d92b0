"""Pages by name: a page is one file and one line here."""

PAGES = {
    "overview": ("overview.py", "Overview", ""),
    "feature": ("feature.py", "Feature", "feature"),
}
"""Name -> file beside this one, title, path in the address."""
