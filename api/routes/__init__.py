"""One module per noun of the contract: the routes, and what they take and give."""
