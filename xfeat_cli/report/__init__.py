"""The report of a reconstruction: report.json, and a page of it that opens offline.

config      every default and its meaning
inputs      what is known of photographs, pairs and models, as plain arrays
graph       components, bridges, weak links, groups of images
residuals   where, how large and for which tracks the reprojection errors are
place       positions of GPS against those of the model
reasons     why a photograph is not in the model
content     inputs → the figures of report.json
verdict     figures → words, and what to do next
checks      conditions on figures, for scripts
page        figures and drawings → a folder with the page
"""
