"""The command line: what a person does with pipelines, on a laptop and in production.

`product` holds the commands of both profiles, `laptop.commands` those that set up and run the
laptop's own services. Modules import what they need when a command runs, so that help and wrong
arguments are answered before anything is installed.
"""
