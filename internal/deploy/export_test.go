package deploy

// Removing says that the jobs of a stage were told to end because it is
// removed.
func (s *Service) Removing(stageID string) bool {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	return s.jobs.barred[stageID] > 0
}
