"""How what was recalled gets into the model: quoted, or by logits and the residual stream."""
