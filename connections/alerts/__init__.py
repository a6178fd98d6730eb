"""What people must be told: raised by failures and by queries, closed by recovery."""
