/**
 * The messages behind the reviews that somebody asks about themselves, in the notation of schema_table.ts
 * and with the numbers of Kubernetes' generated.proto.
 */
export const REVIEW_MESSAGES: Readonly<Record<string, string>> = {
  NonResourceRule: "verbs 1 []s, nonResourceURLs 2 []s",
  ResourceRule: "verbs 1 []s, apiGroups 2 []s, resources 3 []s, resourceNames 4 []s",
  SelfSubjectReview: "metadata 1 ObjectMeta, status 2 SelfSubjectReviewStatus",
  SelfSubjectReviewStatus: "userInfo 1 UserInfo",
  SelfSubjectRulesReview:
    "metadata 1 ObjectMeta, spec 2 SelfSubjectRulesReviewSpec, status 3 SubjectRulesReviewStatus",
  SelfSubjectRulesReviewSpec: "namespace 1 s",
  SubjectRulesReviewStatus:
    "resourceRules 1 []ResourceRule, nonResourceRules 2 []NonResourceRule, incomplete 3 b, evaluationError 4 s",
  UserInfo: "username 1 s, uid 2 s, groups 3 []s, extra 4 {}f",
};
