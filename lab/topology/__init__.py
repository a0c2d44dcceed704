"""What a lab IS: its declaration, and all that follows from it. No Docker here, and no file but the declaration."""
