"""What all pages stand on: texts of rows as data, figures as SVG, one file that loads nothing.

No library draws here. plotly, Altair, Bokeh and ECharts were measured: they add 1 to 5 MB to a
page, open several times slower, set inline styles that the policy refuses or need `unsafe-eval`,
two of them run what stands in a row; and the linked list, the search, the marks, print and dark
would be our own script all the same.
"""
