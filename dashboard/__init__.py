"""The dashboard: scraper, metric store, panels, JSON interface and the page."""
