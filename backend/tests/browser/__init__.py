"""A package, so that a fixture with ``scope="package"`` ends with the last test of this folder: the browser and the service
do not stay while the rest of the suite runs."""
