"""What the gateway refuses itself: the judge, the budgets of refusals, who waits, and the record."""
