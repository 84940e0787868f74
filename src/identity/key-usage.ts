/** Bits of KeyUsage, RFC 5280 §4.2.1.3. */
export const KeyUsage = { digitalSignature: 0, certSign: 5 } as const;

/** Of ExtendedKeyUsage, RFC 5280 §4.2.1.12. */
export const clientAuth = '1.3.6.1.5.5.7.3.2';
export const anyExtendedUsage = '2.5.29.37.0';
