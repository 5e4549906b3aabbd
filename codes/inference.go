package codes

// Inference is what the engine weighs with: priors and weights of evidence.
type Inference struct{}
