"""The ground floor: knows neither people nor tasks."""
