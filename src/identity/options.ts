export interface IdentityOptions {
  /** Paths of PEM files, absolute. `certificate` may hold the chain, leaf first. */
  certificate: string;
  privateKey: string;
  /** CA certificates that the certificate must chain to. */
  trust: string;
}
