"""Sphinx configuration: MyST pages, furo theme. ``make docs`` builds them with every warning an error."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmyolor_mtl.version import __version__  # noqa: E402

project = 'MMYOLOR-MTL'
author = 'The MMYOLOR-MTL contributors'
copyright = author  # noqa: A001
version = release = __version__

extensions = ['myst_parser', 'sphinx_copybutton', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
source_suffix = {'.md': 'markdown'}
exclude_patterns = ['_build']
myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
myst_heading_anchors = 3
copybutton_prompt_text = '$ '
smartquotes = False  # '' in a docstring is Python

# Public names are those of __all__, wherever in the package they are defined.
autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_typehints = 'signature'
autodoc_member_order = 'groupwise'
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'{project} {release}'
html_static_path = ['_static']
html_css_files = ['pages.css']

# GitHub makes the anchors of its pages in the browser.
linkcheck_anchors = False
