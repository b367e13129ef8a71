"""What each request does: a router, a table of routes, and one function for each route."""
