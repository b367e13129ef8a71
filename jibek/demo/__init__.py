"""The demo: bots that trade on a venue, what it shows, and its proof."""
