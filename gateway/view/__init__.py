"""What the events say: orders, balances, books and streams."""
