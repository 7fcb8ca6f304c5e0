"""What the background worker does besides the jobs themselves."""
