"""What is known about those who vote: how often they are right, and what follows from it."""
