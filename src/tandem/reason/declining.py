"""What says that there is nothing to say: `unknown`, `I don't know`, `The passages do not say where she was born.`

A model that is asked for a fact and has none says so in many words. Taken for a fact, they would replace a step, or be
an answer that others agree with. Only what is said of the asked-for itself or of the given texts counts: `The treaty
does not mention slaves.` is a fact. `None` and `nothing` are answers (how many children?), and `unknown` is none.

What this does not do: languages other than English.
"""

from __future__ import annotations

import re

_GIVEN = (
    r"(?:the |this |these |those |any |either |of |given |provided |retrieved |available |above |supplied )*"
    r"(?:passages?|texts?|contexts?|documents?|sources?|evidence|information|articles?|findings?|excerpts?|snippets?)"
    r"(?: \d+)?(?: provided| given| above)?"
)
_NOT = r"(?:(?:do|does|did|is|are|was|were|has|have|can|could)(?:n't| not)|cannot|can ?not)"
_TELLS = (
    r"(?:say|state|mention|provide|specif|contain|give|indicate|tell|include|reveal|describe|disclose|name|identify|"
    r"answer|address|clarif|discuss|list|explain|confirm|support|help|enough|sufficient|relevant|clear)"
)
_TOLD = (
    r"(?:known|stated|given|mentioned|said|told|specified|provided|clear|available|found|described|disclosed|indicated|"
    r"determined|answered|sure|certain|possible to (?:say|tell|know|determine|answer))"
)
_MORE = (
    r"(?=\W*\Z|\s*[.:;,–—(-]|\s+(?:who|what|where|when|which|why|how|whether|if|about)\b"
    rf"|\s+(?:from|in|by) {_GIVEN})"
)
_ALONE = r"(?:unknown|unclear|undetermined|n/a|not applicable|no (?:answer|idea))"
_PHRASES = (
    rf"{_ALONE}(?=[\W_]*\Z|[\"'”’*_`)]*\s*[.:;,–—(-]|\s+(?:from|in|based|given|as)\b)",
    rf"(?:it|this|that|the answer|which|(?:[\w'-]+ ){{1,8}}?)(?: ?is|'s| remains| are| was| were) (?:still )?"
    rf"(?:unknown|unclear){_MORE}",
    rf"(?:it|this|that|the answer)(?: is|'s| was)? ?(?:not|n't) {_TOLD}{_MORE}",
    rf"(?:it|this|that|the answer) (?:cannot|can't|can not|could not) be {_TOLD}{_MORE}",
    rf"(?:[\w'-]+ ){{0,8}}?(?:is|are|was|were|cannot be|can't be|not be)(?: not|n't)? "
    rf"(?:explicitly |directly )?{_TOLD} (?:in|by|from|on the basis of) {_GIVEN}",
    rf"not (?:explicitly |directly )?{_TOLD}{_MORE}",
    r"(?:cannot|can't|can not) (?:be )?(?:tell|say|told|determined?|known|answer(?:ed)?)\b",
    r"(?:i|we)(?:'m| am| are)? ?(?:(?:do(?:n't| not)|cannot|can't|can not) (?:know|tell|say|determine|answer|find)|"
    r"(?:not|n't) (?:sure|certain|able to)|(?:have|found) no )",
    r"(?:there (?:is|was|are) )?(?:no|not enough|insufficient) (?:\w+ )?(?:information|mention|evidence|data|details?)"
    r"(?=\W*\Z|\s*[.:;,–—(-]|\s+(?:is|are|was|about|of|on|in|to|for|that|regarding|given|provided|available)\b)",
    rf"{_GIVEN} {_NOT} (?:\w+ ){{0,2}}?{_TELLS}",
    rf"(?:none|neither|nothing) (?:of|in) {_GIVEN} {_TELLS}",
    rf"no {_GIVEN} {_TELLS}",
)
_DECLINES = re.compile(
    rf"[\W_]*(?:(?:unfortunately|sorry|based on {_GIVEN}|according to {_GIVEN}|the answer is:?|finding:|answer:),? *)*"
    rf"(?:{'|'.join(_PHRASES)})",
    re.IGNORECASE,
)


def declines(text: str) -> bool:
    """Whether a line tells nothing but that it does not know."""
    return bool(_DECLINES.match(" ".join(text.replace("’", "'").split())))
