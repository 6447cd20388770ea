"""The loss of a batch and its gradient in bounded memory."""
