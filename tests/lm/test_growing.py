import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from tandem import tokenizer as ours
from tandem.lm.growing import Bytes, Growing, Window, speller, within
from tandem.tokenizer import Tokenizer
from tandem.types import Token, Usage

TEXTS = st.text(alphabet="ab  \n.çé你好🙂🚀", max_size=40)


def sentencepiece():
    """A tokenizer as Llama 2 has it: a mark for spaces, bytes for whatever has no token."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    for piece in ("<unk>", "</s>", "▁", "a", "b", ".", "▁a", "▁b", "ab", "▁ab"):
        vocabulary[piece] = len(vocabulary)
    merges = [("▁", "a"), ("▁", "b"), ("a", "b"), ("▁a", "b")]
    core = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens([AddedToken("</s>", special=True)])
    return Tokenizer(core, rows=len(vocabulary), end="</s>", unk="<unk>")


SENTENCEPIECE = sentencepiece()
BYTE_LEVEL = ours.train(["ab ab. çé 你好 🙂"] * 10, 300)


def grown(tokenizer, before, ids, **options):
    growing = Growing(speller(tokenizer, before), logprobs=True, **options)
    for token in ids:
        if growing.add(token, -1.0):
            break
    return growing.completion("length", usage=Usage(0, 0), served_model="")


def covered(completion):
    """Whether the tokens are the answer, without a gap."""
    data = completion.text.encode()
    at = 0
    for token in completion.tokens:
        assert token.start == at and data[token.start : token.end].decode() == token.text
        at = token.end
    return at == len(data)


def test_each_kind_of_tokenizer_gets_its_spelling():
    assert isinstance(speller(SENTENCEPIECE), Window)
    assert isinstance(speller(BYTE_LEVEL), Bytes)


@given(TEXTS, TEXTS)
def test_an_answer_is_what_the_whole_text_has_after_the_prompt(prompt, answer):
    for tokenizer in (SENTENCEPIECE, BYTE_LEVEL):
        whole = tokenizer.encode("a" + prompt + answer)
        before = tokenizer.encode("a" + prompt)
        if whole[: len(before)] != before:
            continue
        completion = grown(tokenizer, before, whole[len(before) :])
        assert completion.text == answer
        assert covered(completion)


@given(st.lists(st.integers(0, 255), max_size=30))
def test_bytes_that_are_no_text_become_replacement_characters(ids):
    for tokenizer in (SENTENCEPIECE, BYTE_LEVEL):
        completion = grown(tokenizer, tokenizer.encode("ab"), ids)
        assert covered(completion)
        completion.text.encode()


@given(TEXTS, st.lists(st.text(alphabet="ab .你", min_size=1, max_size=3), min_size=1, max_size=3))
def test_the_first_stop_text_ends_the_answer_wherever_tokens_end(answer, stops):
    for tokenizer in (SENTENCEPIECE, BYTE_LEVEL):
        before = tokenizer.encode("ab")
        ids = tokenizer.encode("ab" + answer)
        if ids[: len(before)] != before:
            continue
        completion = grown(tokenizer, before, ids[len(before) :], stop=stops)
        ends = [at for stop in stops if (at := answer.find(stop)) >= 0]
        if ends:
            assert (completion.finish, covered(completion)) == ("stop", True)
            assert not any(stop in completion.text for stop in stops)
            assert answer.startswith(completion.text) and len(completion.text) >= min(ends) - max(map(len, stops))
        else:
            assert (completion.text, completion.finish) == (answer, "length")


def test_marks_in_an_answer_are_no_text():
    end = SENTENCEPIECE.end
    assert grown(SENTENCEPIECE, SENTENCEPIECE.encode("a"), [*SENTENCEPIECE.encode("ab"), end]).text in ("ab", " ab")


def test_tokens_of_a_cut_text_end_with_it_and_half_a_character_adds_nothing():
    pieces = [("", 0, 0), ("é", 0, 2), ("a\ud800", 2, 6), ("b", 6, 7)]
    tokens = [Token(text, -1.0, start, end) for text, start, end in pieces]
    assert within(tokens, "éa\ud800b") == tuple(tokens)
    assert within(tokens, "éa") == (*tokens[:2], Token("a", -1.0, 2, 3))
    assert within(tokens, "é") == tuple(tokens[:2])
    assert within(tokens, "") == ()
