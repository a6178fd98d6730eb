"""Stock: warehouse to store platform, one way (dropstream.md §5)."""
