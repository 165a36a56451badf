"""Removes workspaces that nobody has used for as long as the configuration says, but for what would be lost."""

from __future__ import annotations

import logging
import math

from components.clones import base_of
from components.server.core import Core
from components.workspaces import Workspaces

logger = logging.getLogger(__name__)


def workspaces_of(core: Core) -> Workspaces:
    """Return the workspaces of the service's home."""
    return Workspaces(core.home, base_of(core.loaded.config), core.store, core.host)


def tidy(core: Core) -> None:
    """Remove what is stale (`keep_workspaces_days`); what is in use, or holds work that is not saved, stays.

    A removal that was begun and interrupted is finished whatever the setting says.
    """
    given = core.loaded.config.keep_workspaces_days
    days = math.inf if given is None else given
    for removal in workspaces_of(core).clean_up(days):
        if removal.kept:
            logger.info("workspace %s is stale and stays: %s", removal.entry.path, "; ".join(removal.kept))
        else:
            logger.info("workspace %s was stale; it is removed", removal.entry.path)
