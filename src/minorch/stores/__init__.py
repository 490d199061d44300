"""The built-in stores, one per module: :mod:`~minorch.stores.memory` and :mod:`~minorch.stores.sqlite`."""
