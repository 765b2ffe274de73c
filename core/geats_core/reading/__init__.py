"""Plain data that people or programs wrote, read into values, or every problem with its path."""
