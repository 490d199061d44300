"""Virtual time: the driver that simulations and the hostile worlds of the tests share."""
