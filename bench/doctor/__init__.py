"""What needs images, models or the database to be found strange; `tables/alarms` needs only results."""
