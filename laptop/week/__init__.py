"""`./nightshift demo --week`: days of live traffic with the nights between them."""
