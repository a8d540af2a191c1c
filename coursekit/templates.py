"""HTML from a template of Jinja's: whatever is put into it is escaped."""

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template, told, **filters):
    """The text of `template`, a path, filled with the dict `told`; a name that is missing there raises."""
    jinja = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= filters
    return jinja.get_template(template.name).render(told)
