"""Scripts for those who work on minorch. Nothing here is part of the installed package."""
