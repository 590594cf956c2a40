"""The handlers, by command.

A handler takes the bridge and the request's arguments. It returns the result, or, for an execution, the work that
will. It raises what went wrong; turning that into a response is the dispatcher's part.
"""

from collections.abc import Callable
from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.bridge.commands import (
    accounts,
    cache,
    cassettes,
    execution,
    gemini,
    journal,
    lms,
    programs,
    sessions,
    system,
)

Handler = Callable[[BridgeState, Args], "dict[str, Any] | Callable[[], dict[str, Any]]"]

HANDLERS: dict[str, Handler] = {
    "ping": system.ping,
    "get_stats": system.get_stats,
    "cleanup": system.cleanup,
    "reset_state": system.reset_state,
    "shutdown": system.shutdown,
    "crash_worker": system.crash_worker,
    "configure_lm": lms.configure_lm,
    "get_lm": lms.get_lm,
    "define_lm": lms.define_lm,
    "undefine_lm": lms.undefine_lm,
    "list_lms": lms.list_lms,
    "get_costs": accounts.get_costs,
    "set_budget": accounts.set_budget,
    "get_cache_stats": cache.get_cache_stats,
    "clear_cache": cache.clear_cache,
    "use_cassette": cassettes.use_cassette,
    "eject_cassette": cassettes.eject_cassette,
    "create_program": programs.create_program,
    "list_programs": programs.list_programs,
    "get_program_info": programs.get_program_info,
    "delete_program": programs.delete_program,
    "execute_program": execution.execute_program,
    "predict": execution.predict,
    "create_gemini_program": gemini.create_gemini_program,
    "execute_gemini_program": gemini.execute_gemini_program,
    "get_journal": journal.get_journal,
    "clear_journal": journal.clear_journal,
    "cleanup_session": sessions.cleanup_session,
    "get_session_data": sessions.get_session_data,
    "update_session_data": sessions.update_session_data,
}
