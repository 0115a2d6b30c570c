"""A release is a pair: one SQL deployment and one model version, tested together.

`manifest` and `candidate` describe it, `drift`, `quality`, `rehearse` and `consistency` gate
it, `pointer` and `switch` make it live, `retention` and `recover` clean up behind it,
`rollback` goes back, `history` tells. docs/release.md has the whole story.
"""
