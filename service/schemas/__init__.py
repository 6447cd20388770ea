"""What goes over the wire: requests and responses, as JSON; a file for each noun."""
