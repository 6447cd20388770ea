"""WorkBench: six ranking tasks of the labour market, their data, baselines and report."""
