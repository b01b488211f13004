"""Find where new photographs were taken, in a model that is there: `Localizer`."""
