"""What WorkBench compares: everything that scores queries against targets."""
