"""Reports of runs: charts, tables, and the page that holds them. The only room that draws."""
