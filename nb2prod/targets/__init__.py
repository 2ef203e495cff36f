"""What a pipeline becomes elsewhere: one target a file, with its folder under templates/."""
