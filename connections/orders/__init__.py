"""Purchase orders: store platform to warehouse and back (dropstream.md §6)."""
