package api

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHowFarBack_KeepsAnAnswerSmall(t *testing.T) {
	for minutes := 1; minutes <= 20160; minutes++ {
		step := HowFarBack{minutes}.step()
		require.LessOrEqual(t, minutes/step, pointsMost, minutes)
		require.Zero(t, 60%step, minutes)
	}
	for minutes, step := range map[int]int{60: 1, 360: 1, 361: 5, 1440: 5, 7 * 1440: 30, 14 * 1440: 60} {
		require.Equal(t, step, HowFarBack{minutes}.step(), minutes)
	}
}
