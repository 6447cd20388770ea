"""The paper's ablations with our trainer."""
