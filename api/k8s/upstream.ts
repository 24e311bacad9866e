/** The kube-apiserver behind, where Kubernetes paths are proxied to one. */
export interface KubernetesUpstream {
  /** `https://host:port` */
  readonly origin: string;
  /** Until the headers of an answer; undefined: 60,000. */
  readonly answerTimeoutMs?: number;
  /**
   * Sends the request with the master's own credential.
   * @throws what the network says
   */
  fetch(request: Request): Promise<Response>;
}
