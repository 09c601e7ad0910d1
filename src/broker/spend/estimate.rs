//! How many tokens a request's input can be at most, told from its body alone.
//!
//! Models of this kind cut text into tokens of at least one byte (byte-level byte pair encoding), and a text in JSON
//! has no fewer bytes than it has itself. So a body's bytes bound the tokens of the text in it, whatever the language.
//! What a provider adds around messages, tools and the request as a whole is not in the body; neither is what an image
//! counts, which depends on its size in pixels and not in bytes. For those there are fixed allowances. They are bounds
//! by choice, well above what providers publish; where one is exceeded all the same, the settlement tells it.
//! Not bounded by this: input that the provider keeps and adds by itself (the broker lets no request name any).

/// Tokens that are allowed for what a provider puts around one message: its markers and its role.
pub const MESSAGE_TOKENS: u64 = 32;
/// Tokens that are allowed for how a provider writes out one tool beyond its description's own text.
pub const TOOL_TOKENS: u64 = 256;
/// Tokens that are allowed for what a provider puts before every request.
pub const REQUEST_TOKENS: u64 = 2_048;
/// Tokens that are allowed for one image: a small file can be a large picture. The dearest published rule known when
/// this was written comes to less than 50,000 for the largest picture that it looks at.
pub const IMAGE_TOKENS: u64 = 50_000;

/// Bound of the input tokens of a request of `body_bytes` with so many items of input, tools and images.
#[must_use]
pub const fn worst_input_tokens(body_bytes: u64, messages: u64, tools: u64, images: u64) -> u64 {
    body_bytes
        .saturating_add(REQUEST_TOKENS)
        .saturating_add(messages.saturating_mul(MESSAGE_TOKENS))
        .saturating_add(tools.saturating_mul(TOOL_TOKENS))
        .saturating_add(images.saturating_mul(IMAGE_TOKENS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_counts_and_nothing_wraps() {
        assert_eq!(worst_input_tokens(0, 0, 0, 0), REQUEST_TOKENS);
        let whole = 10 + REQUEST_TOKENS + 2 * MESSAGE_TOKENS + 3 * TOOL_TOKENS + 4 * IMAGE_TOKENS;
        assert_eq!(worst_input_tokens(10, 2, 3, 4), whole);
        assert_eq!(worst_input_tokens(u64::MAX, 1, 1, 1), u64::MAX);
        assert_eq!(worst_input_tokens(1, u64::MAX, 1, 1), u64::MAX);
    }
}
