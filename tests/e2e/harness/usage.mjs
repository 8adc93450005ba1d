/** What `response.done` says that a response has used, where a test needs it to have used something. */
export const responseUsage = {
  total_tokens: 1500,
  input_tokens: 1000,
  output_tokens: 500,
  input_token_details: {
    text_tokens: 200,
    audio_tokens: 800,
    image_tokens: 0,
    cached_tokens: 300,
    cached_tokens_details: { text_tokens: 100, audio_tokens: 200, image_tokens: 0 },
  },
  output_token_details: { text_tokens: 100, audio_tokens: 400 },
};
