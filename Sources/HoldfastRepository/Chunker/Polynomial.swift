import HoldfastModel

/// Polynomials over GF(2), as the config's `chunker_polynomial` holds one: bit n is the coefficient of xⁿ.
///
/// Holdfast cuts with another function, but restic refuses a repository whose polynomial is not irreducible, and cuts
/// with it when it writes into the same repository.
package struct Polynomial: Hashable, Sendable {
    package var bits: UInt64

    package init(bits: UInt64) { self.bits = bits }

    /// -1 for the zero polynomial.
    var degree: Int { 63 - bits.leadingZeroBitCount }

    /// A random irreducible polynomial of degree 53, the degree that restic uses.
    package static func randomIrreducible(using generator: inout some RandomNumberGenerator) throws -> Polynomial {
        // One in about 53 polynomials of that degree is irreducible; the constant term must be 1.
        for _ in 0..<100_000 {
            let bits = UInt64.random(in: 0..<1 << 53, using: &generator) | 1 << 53 | 1
            let candidate = Polynomial(bits: bits)
            if candidate.isIrreducible { return candidate }
        }
        throw HoldfastError(.internalFault, "no irreducible polynomial was found")
    }

    /// Ben-Or's test: f of degree n is irreducible if and only if it shares no factor with x^(2^i) - x for i up to n/2.
    ///
    /// Source: S. Gao, D. Panario, Tests and constructions of irreducible polynomials over finite fields (1997).
    package var isIrreducible: Bool {
        guard degree > 0 else { return false }
        var power = Polynomial(bits: 2).remainder(self)
        for _ in 0..<degree / 2 {
            power = power.multiplied(by: power, modulo: self)
            let difference = Polynomial(bits: power.bits ^ 2).remainder(self)
            if Self.greatestCommonDivisor(self, difference).degree != 0 { return false }
        }
        return true
    }

    func remainder(_ divisor: Polynomial) -> Polynomial {
        var rest = bits
        while rest != 0, 63 - rest.leadingZeroBitCount >= divisor.degree {
            rest ^= divisor.bits << UInt64(63 - rest.leadingZeroBitCount - divisor.degree)
        }
        return Polynomial(bits: rest)
    }

    /// Both factors are of smaller degree than the modulus, which is at most 62.
    func multiplied(by other: Polynomial, modulo: Polynomial) -> Polynomial {
        var result: UInt64 = 0
        var factor = bits
        var rest = other.bits
        while rest != 0 {
            if rest & 1 != 0 { result ^= factor }
            rest >>= 1
            factor <<= 1
            if factor >> UInt64(modulo.degree) & 1 != 0 { factor ^= modulo.bits }
        }
        return Polynomial(bits: result)
    }

    static func greatestCommonDivisor(_ one: Polynomial, _ other: Polynomial) -> Polynomial {
        var (one, other) = (one, other)
        while other.bits != 0 { (one, other) = (other, one.remainder(other)) }
        return one
    }
}
