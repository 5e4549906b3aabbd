// Package ecr decodes what passes between a payment terminal, a cash register and an acquirer's host, without taking
// part in it.
//
// Its decoders are the only code of the product that ever sees a payment message. What they return is made of an
// allow-list of fields; no type here can hold a card number, a track, a PIN block or a security code, and the bytes a
// decoder was given are zeroed before it returns, whatever the outcome.
package ecr
