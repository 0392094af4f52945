"""How Sphinx makes the site: `make docs`. It needs no network, neither to build nor to read."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parent.parent)]

from hubspot_meetings_async import __version__  # noqa: E402 - found by the line above

project = "hubspot-meetings-async"
author = "the authors of hubspot-meetings-async"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "public_names"]
exclude_patterns = ["_ext"]
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
highlight_language = "text"
pygments_dark_style = "github-dark"

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False

nitpicky = True
# `type[…]` in a signature is no attribute of that name.
suppress_warnings = ["ref.python"]
nitpick_ignore_regex = [
    # Other projects are not linked to: their pages are not at hand when this is built.
    (r"py:.*", r"(?!hubspot_meetings_async\b).*"),
]

html_theme = "furo"
html_title = f"hubspot-meetings-async {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5c6b", "color-brand-content": "#0b5c6b"},
    "dark_css_variables": {"color-brand-primary": "#6fc3d4", "color-brand-content": "#6fc3d4"},
}
