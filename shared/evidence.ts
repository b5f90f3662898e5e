/** Most bytes of UTF-8 of one result's evidence as JSON. */
export const maxEvidenceBytes = 8192;

/** Whether this text, from whoever, may be stored as evidence: a JSON object of a bounded size. */
export function isEvidence(text: string): boolean {
  if (Buffer.byteLength(text) > maxEvidenceBytes) return false;
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === 'object' && !Array.isArray(value) && !text.includes('\\u0000');
  } catch {
    return false;
  }
}
