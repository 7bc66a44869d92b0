"""The Streamlit dashboard: a file a page, metrics and states only."""
